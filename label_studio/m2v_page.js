// What our labelling pages do besides Label Studio's.
(() => {
  // The view that was chosen for one item is chosen for the next: two keys an item. Choices by key fire no event, so
  // the page is looked at.
  const NAME = "m2v-view";
  setInterval(() => {
    const cover = document.querySelector(".m2v-cover");
    if (!cover) return;
    const chosen = cover.querySelector("input:checked");
    if (chosen) return localStorage.setItem(NAME, chosen.name);
    const kept = localStorage.getItem(NAME);
    [...cover.querySelectorAll("input")].find((input) => input.name === kept)?.click();
  }, 100);

  // Why an answer is refused, or no item comes, in the server's words: Label Studio says "contact our team".
  const say = (text) => {
    const box = document.createElement("div");
    box.setAttribute("role", "alert");
    box.style.cssText =
      "position:fixed;z-index:10000;top:12px;left:50%;transform:translateX(-50%);max-width:90vw;padding:10px 16px;" +
      "background:#111;color:#fff;border-radius:4px";
    box.textContent = text;
    document.body.append(box);
    setTimeout(() => box.remove(), 10000);
  };

  // An answer that the server would refuse is not sent: Label Studio's page takes no second one afterwards.
  const oneThing = (event) => {
    const asked = document.querySelectorAll(".m2v-label, .m2v-skip");
    if (!asked.length || document.querySelectorAll(":is(.m2v-label, .m2v-skip) input:checked").length === 1) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    say("Choose one answer, or one reason to skip, then submit.");
  };
  const submits = (event) => (event.ctrlKey || event.metaKey) && event.key === "Enter";
  addEventListener("keydown", (event) => submits(event) && oneThing(event), true);
  addEventListener(
    "click",
    (event) => event.target.closest?.('button:is([aria-label^="Submit"], [aria-label^="Update"])') && oneThing(event),
    true,
  );

  const { fetch } = window;
  window.fetch = async (...asked) => {
    const answer = await fetch(...asked);
    if (answer.status >= 400 && /\/(annotations|next|actions)\b/.test(answer.url)) {
      const said = await answer.clone().json().catch(() => ({}));
      if (typeof said.detail === "string") say(said.detail);
    }
    return answer;
  };
})();

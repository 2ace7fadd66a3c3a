// What our labelling pages do besides Label Studio's.
(() => {
  // What annotators can do nothing with is not shown to them; the guard refuses it in any case.
  const NOT_THEIRS = new Set(
    ["Create Project", "Invite Members", "Settings", "Actions", "Columns", "Filters", "Order by", "Import", "Export"],
  );
  if (document.currentScript.dataset.for === "annotator") {
    const style = document.createElement("style");
    style.textContent =
      'section + section:has([data-testid="resources-card"]), [aria-label="Open New Tab"],' +
      'a[href*="/organization"], a[href$="/settings"], a[href*="labelstud.io"], a[href*="github.com/HumanSignal"],' +
      'a[href="/docs/api"], [aria-label^="Sort "] { display: none !important; }';
    document.head.append(style);
    setInterval(() => {
      for (const each of document.querySelectorAll("button, a"))
        if (NOT_THEIRS.has(each.textContent.trim())) each.style.display = "none";
    }, 100);
  }
  // Nobody signs up for a company's newsletter by signing up to label.
  addEventListener("DOMContentLoaded", () => {
    const news = document.getElementById("allow_newsletters");
    if (!news) return;
    news.value = "false";
    for (const id of ["allow_newsletters_visual", "how_find_us"]) {
      const field = document.getElementById(id);
      if (!field) continue;
      field.checked = false;
      (id === "how_find_us" ? (field.closest(".input-wrapper") ?? field) : field).style.display = "none";
      for (const label of document.querySelectorAll(`label[for="${id}"]`)) label.style.display = "none";
    }
  });

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

  // Where a day or a stretch of work is over, Label Studio says that all is done, and that something broke.
  let paused = null;
  setInterval(() => {
    if (!paused) return;
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      if (/^\s*No More Tasks Left in Queue/.test(text.data)) text.data = "Labelling pauses";
      if (/^\s*All tasks in the queue have been completed/.test(text.data)) text.data = paused;
      if (/^\s*Runtime error/.test(text.data)) text.parentElement.style.display = "none";
    }
  }, 100);

  const { fetch } = window;
  window.fetch = async (...asked) => {
    const answer = await fetch(...asked);
    if (answer.status >= 400 && /\/(annotations|next|actions)\b/.test(answer.url)) {
      const said = await answer.clone().json().catch(() => ({}));
      if (typeof said.detail === "string") {
        say(said.detail);
        if (answer.status === 429) paused = said.detail;
      }
    }
    return answer;
  };
})();

"""The loss of RGCL: cross entropy, and neighbours of the same label nearer than those of the other."""

import numpy as np
import torch
from torch import Tensor, nn

from m2v.detectors.fitting.head import Classifier, Seen
from m2v.detectors.fitting.loop import CrossEntropy, Examples, score_all
from m2v.detectors.retrieval import neighbours
from m2v.detectors.retrieval.entry import Retrieval
from m2v.detectors.retrieval.neighbours import Index


class Guided:
    """Cross entropy + relu(s_in_batch + s_hard - s_gold + margin), s being cosines (RGCL, equation 6).

    Before each epoch the training split is embedded anew. Of each item the most similar item of the same label is its
    pseudo-gold, the most similar one of the other label its hard negative; an exact duplicate is neither. The negative
    in the batch is the mean over its items of the other label.
    """

    def __init__(self, entry: Retrieval, train: Examples) -> None:
        self.entry, self.train = entry, train
        self.cross_entropy = CrossEntropy(entry, train.labels)
        self.contents = neighbours.contents(train.inputs)
        self.gold = self.hard = torch.zeros(0)
        self.has_both = torch.zeros(0, dtype=torch.bool)

    def begin(self, classifier: Classifier) -> None:
        """Embed the training split and look for each item's two neighbours."""
        embeddings = score_all(classifier, self.train.inputs).embeddings
        assert embeddings is not None
        index = Index(embeddings, self.train.labels, self.contents)
        gold, hard = (
            neighbours.nearest(index, embeddings, self.contents, k=1, labels=labels).places[:, 0]
            for labels in (self.train.labels, ~self.train.labels)
        )
        self.has_both = torch.from_numpy((gold >= 0) & (hard >= 0))
        self.gold, self.hard = torch.from_numpy(embeddings[gold]), torch.from_numpy(embeddings[hard])

    def loss(self, seen: Seen, labels: Tensor, places: np.ndarray) -> Tensor:
        """Return the mean over the batch's items."""
        assert seen.embedding is not None
        there = torch.from_numpy(places)
        gold, hard, has_both = (each[there].to(labels.device) for each in (self.gold, self.hard, self.has_both))
        cosines = seen.embedding @ seen.embedding.T
        other = (labels[:, None] != labels).float()
        in_batch = (cosines * other).sum(dim=1) / other.sum(dim=1).clamp(min=1)
        nearer = in_batch + (seen.embedding * hard).sum(dim=1) - (seen.embedding * gold).sum(dim=1)
        guided = nn.functional.relu(nearer + self.entry.margin) * has_both
        return self.cross_entropy.loss(seen, labels, places) + self.entry.guided * guided.mean()

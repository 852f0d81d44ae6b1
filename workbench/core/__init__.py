"""The vocabulary: log-probs, KL estimators, advantages, batches, seeds, cards."""

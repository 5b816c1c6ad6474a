"""Fine-tuning on labeled data: from a checkpoint to another, scored each epoch as what is compiled of it."""

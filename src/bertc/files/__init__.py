"""Data files: lines, texts in and vectors out. No model and no metric here."""

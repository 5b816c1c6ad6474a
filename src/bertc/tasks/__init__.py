"""From inputs to answers: one file per task, listed in ``bertc.task_table``."""

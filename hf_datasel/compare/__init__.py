"""Which method works on these data: one model trained on what each selects, at several budgets and seeds."""

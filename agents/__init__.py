"""Who acts, and how it learns: roles, the policies that sample for them, and their learners."""

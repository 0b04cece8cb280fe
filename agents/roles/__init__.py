"""Roles: prompt in, typed record out. Each owns its prompts and parsing, and uses any policy."""

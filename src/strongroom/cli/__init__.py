"""The command line: one small module per group of commands, nothing but words in and out."""

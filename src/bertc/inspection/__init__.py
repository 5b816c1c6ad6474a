"""What a graph is made of, for people: facts of nodes, folded to a tree, as a table, a page, a file."""

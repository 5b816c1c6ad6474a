"""Two of a kind side by side: folders of outputs file by file, and runs of the bench or under load."""

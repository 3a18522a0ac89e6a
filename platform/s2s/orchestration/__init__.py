"""Floor 4: recipes as Ray tasks, and what a user follows of them. The only folder that imports ray."""

"""What can be said, and how good it is: prompts, responses, gold rewards."""

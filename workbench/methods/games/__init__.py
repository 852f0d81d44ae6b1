"""Methods that learn a policy from a preference oracle, transitive or not."""

"""Methods that learn from rewards of responses that the policy writes itself."""

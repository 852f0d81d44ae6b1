"""Methods that learn a policy from preference pairs, without sampling."""

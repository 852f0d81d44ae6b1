"""Methods that leave the weights alone and choose what is written."""

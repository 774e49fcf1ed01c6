"""Files from outside, read by their content and never by their name; nothing in them is executed."""

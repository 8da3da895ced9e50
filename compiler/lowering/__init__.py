"""From floats between quantizers to integers: what values become, and a rule per operator."""

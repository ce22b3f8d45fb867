"""Plain values that every layer shares: geometry, prompts, masklets, errors. numpy only, no input or
output."""

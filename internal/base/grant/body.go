package grant

// Body returns the grant by itself, as the store keeps it. Read reads it.
func (g Grant) Body() []byte { return encode(g) }

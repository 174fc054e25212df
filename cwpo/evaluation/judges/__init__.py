"""Judge models compare two answers in both orders: what they are asked, who is asked, and no verdict bought twice."""

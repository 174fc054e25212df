"""Online alignment: the policy samples pairs while it trains, and the annotator labels and weighs them."""

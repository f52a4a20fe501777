"""One run takes the payment of an order; a second one is told which run that is."""

"""Floor 2: a trained network over a whole section. Takes weights and what was measured; knows neither files nor training."""

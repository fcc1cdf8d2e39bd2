"""Training and evaluation: where models and data meet. Knows neither Ray nor MLflow."""

"""How far the gradients of two models are apart."""


def worst_gradient(model, reference) -> float:
    """Largest relative L2 error of a parameter's gradient; key biases (true gradient 0) by the largest norm."""
    pairs = [
        (p.grad, q.grad) for p, q in zip(model.parameters(), reference.parameters(), strict=True) if p.requires_grad
    ]
    floor = 1e-2 * max(float(wanted.norm()) for _, wanted in pairs)
    return max(float((given - wanted).norm()) / max(float(wanted.norm()), floor) for given, wanted in pairs)

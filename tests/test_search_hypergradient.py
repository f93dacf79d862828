import pytest

torch = pytest.importorskip('torch')

from models.search.hypergradient import Gradients, hypergradient, projection

A, W0 = 0.7, (0.3, -0.2, 0.9)


def residual(w, a):
    """r(w, a), linear in both; the training loss is r squared, halved."""
    return w @ w.new_tensor([1.0, -2.0, 0.5]) - 3.0 * a + 0.4


def upper_loss(w, a):
    return w @ w.new_tensor([0.6, 0.1, -1.3]) + 0.5 * a * a - 2.0 * a


def trained(a):
    """Weights after gradient descent on the training loss, which reaches residual 0."""
    w = torch.tensor(W0, dtype=torch.float64)
    for _ in range(200):
        w.requires_grad_()
        (gradient,) = torch.autograd.grad(0.5 * residual(w, a) ** 2, w)
        w = (w - 0.1 * gradient).detach()
    assert abs(float(residual(w, a))) < 1e-9
    return w


def gradients(loss, w, a):
    w, a = w.clone().requires_grad_(), torch.tensor(a, dtype=torch.float64, requires_grad=True)
    gradient_w, gradient_a = torch.autograd.grad(loss(w, a), (w, a))
    # Split, and with a weight that takes no part, as a supernet's gradients come.
    return Gradients((gradient_w[:1], None, gradient_w[1:]), gradient_a)


def test_rank_one_is_exact_where_the_training_loss_is_one_squared_linear_residual():
    h = 1e-4
    exact = (upper_loss(trained(A + h), A + h) - upper_loss(trained(A - h), A - h)) / (2 * h)
    w = trained(A) + 0.1  # away from the minimum, where there is no gradient to read rho from
    upper = gradients(upper_loss, w, A)
    lower = gradients(lambda w, a: 0.5 * residual(w, a) ** 2, w, A)
    assert float(hypergradient(upper, lower, 'rank1')) == pytest.approx(float(exact), abs=1e-6)
    # Neither the gradient without the correction nor the one with the released sign is.
    rho = projection(upper, lower)
    first = float(hypergradient(upper, lower, 'first'))
    assert first == pytest.approx(A - 2.0)
    assert abs(first - float(exact)) > 0.1
    assert abs(first + rho * float(lower.architecture) - float(exact)) > 0.2


def test_without_a_training_gradient_nothing_is_corrected():
    upper = Gradients((torch.ones(2),), torch.tensor(3.0))
    lower = Gradients((torch.zeros(2),), torch.tensor(5.0))
    assert float(hypergradient(upper, lower, 'rank1')) == 3.0
    with pytest.raises(ValueError, match='choose one of'):
        hypergradient(upper, lower, 'exact')

"""One method a module: a docstring, a card, a ``Config`` and a pure ``loss``.

A folder says what its methods learn from and how: ``supervised`` imitates, ``reward``
fits scores, ``direct`` learns a policy from labels that lie on disk,
``policy_gradient`` from rewards of the policy's own responses, ``iterative`` from
rounds of labelled responses of its own, ``games`` from a preference oracle;
``values`` and ``decoding`` steer what a policy writes.
"""

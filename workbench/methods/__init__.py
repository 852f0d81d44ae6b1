"""One method a module: a docstring, a card, a ``Config`` and a pure ``loss``.

``supervised`` fits responses, ``reward`` fits scores, ``offline`` learns from pairs
that lie on disk, ``online`` from the policy's own samples, ``games`` from a preference
oracle; ``values`` and ``decoding`` leave the policy alone and steer what it writes.
"""

"""The plain PyTorch program that a panel stands for: what a learner takes home, without weightlab.

As in the package's own list, a module imports from those above it only, and from the package's layers 0 to 2.

Pieces
    text               how a program is written down: numbers, calls, imports, blocks
    own                a learner's own functions and classes as source text
    landscapes         a landscape's loss in a program
    rules              update rules that torch.optim does not have, as optimizer classes of a program
    optimizers         an optimizer in a program, with what is changed midway
    schedules          a learning-rate schedule in a program
    data               a data set in a program: loaded or drawn, split, standardized
    own_model          a learner's own network in a program
    models             a network in a program, as plain modules
    initializers       first weights in a program
    updates            one update of a training program: loss, penalties, clipping

Programs
    descent            the PyTorch program of a descent
    training           the PyTorch program of a real run
    experiments        the plain PyTorch program that an experiment stands for
    signals            signals through an untrained network, forwards and backwards, as a program
    time_gradients     gradients through time as a program
    scheduled_runs     many noisy runs under a schedule as a program
    loop               the update loop as a program, mistakes included
    epochs             a run that a stopping rule ends as a program
    imbalance          networks on imbalanced data as a program
    surface            a run and the loss on a plane as a program
    sharpness          a run that measures its sharpness as a program
    ensemble           many networks as a program: one run after the other
"""

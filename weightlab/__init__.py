"""weightlab: how a neural network's weights are updated, as experiments that one can see, predict and steer.

Four nouns in one direction: controls make an Experiment (frozen), a run turns it into a Record (tensors), a picture
draws the Record; Theory is computed without the run, so that it can disagree. A file imports from lower layers only
(tests/test_structure.py reads the imports and holds this table). Import from the module that has the name:
`from weightlab.update_rules import optimizer`.

Layer 0, needs torch and numpy only
    validate        clear refusals of bad input: value, allowed range, remedy
    pictures        what is to be seen, as data: views, series, reference lines
    records         DescentRecord, TrainingRecord, SignalRecord: what a run leaves
    own_function    a learner's own function of two weights, checked and batched
    landscapes      toy losses of two weights: function, bounds, start, minima, Hessian
    update_rules    gradient descent, momentum, Nesterov, RMSprop, Adam: pure init and step on batches of learners
    schedules       step -> factor on the learning rate
    activations     name -> function, module and gain
    initializers    name -> in-place initialization and the variance it should give
    losses          name -> loss of a batch, and how many outputs it needs
    devices         CPU, CUDA or MPS, and how many threads
    theory          closed forms on a quadratic: limits, rates, roots, regions
    signal_theory   closed forms for a deep network: magnitudes per layer

Layer 1
    models          small real networks with named layers: MLP, CNN, RNN, LSTM, GRU
    datasets        real data that ships with scikit-learn, synthetic two-dimensional sets, splits

Layer 2
    experiments     DescentExperiment, TrainingExperiment: everything that decides a run
    verdicts        how a descent ended, in words
    environment     what the labs run on: versions, devices, threads, widget packages
    steppers        a network's weights as one flat vector that an update rule moves
    recorder        what is measured in every step of a real run
    descent         thousands of toy learners in one batched pass -> DescentRecord
    training        a real run, one step at a time, changeable midway -> TrainingRecord
    signals         forward and backward magnitudes per layer of a deep network -> SignalRecord
    measurements    rates and shares read off a record

Layer 3
    plots           draws pictures on a given matplotlib Axes; never trains
    checks          verdicts on a learner's answer
    momentum_figures  what momentum does: steps as sums, named lines, the (learning rate, momentum) plane
    nesterov_figures  where the look-ahead gradient is taken, and where the rule is stable beside others
    signal_figures  signals through depth, and real runs over several seeds, side by side

Layer 4
    widgets         the animated stage, controls, the live worker and one panel per instrument
"""

__version__ = "0.1.0"

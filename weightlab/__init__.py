"""weightlab: how a neural network's weights are updated, as experiments that one can see, predict and steer.

Four nouns in one direction: controls make an Experiment (frozen), a run turns it into a Record (tensors), a picture
draws the Record; Theory is computed without the run, so that it can disagree. A file imports from lower layers only
(tests/test_structure.py reads the imports and holds this table). Import from the module that has the name:
`from weightlab.update_rules import optimizer`.

Layer 0, needs torch and numpy only
    validate        clear refusals of bad input: value, allowed range, remedy
    landscapes      toy losses of two weights: function, bounds, start, minima, Hessian; your own function too
    update_rules    gradient descent, momentum, Nesterov, RMSprop, Adam: pure init and step on batches of learners
    schedules       step -> factor on the learning rate
    activations     name -> module and gain
    initializers    name -> in-place initialization and the variance it should give
    theory          closed forms: limits, rates, roots, per-layer ratios, filters
    records         DescentRecord, TrainingRecord, SignalRecord: what a run leaves

Layer 1
    models          small real networks with named layers: MLP, CNN, RNN, LSTM, GRU
    datasets        real data that ships with scikit-learn, synthetic two-dimensional sets, splits

Layer 2
    experiments     DescentExperiment, TrainingExperiment: everything that decides a run
    descent         thousands of toy learners in one batched pass -> DescentRecord
    training        a real run, one step at a time, changeable midway -> TrainingRecord
    environment     what the labs run on: versions, devices, threads, widget packages
    signals         forward and backward magnitudes per layer of a deep network -> SignalRecord

Layer 3
    plots           draws records on a given matplotlib Axes; never trains
    checks          verdicts on a learner's answer

Layer 4
    widgets         the animated stage, controls, the live worker and one panel per instrument
"""

__version__ = "0.1.0"

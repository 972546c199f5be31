"""weightlab: how a neural network's weights are updated, as experiments that one can see, predict and steer.

Four nouns in one direction: controls make an Experiment (frozen), a run turns it into a Record (tensors), a picture
draws the Record; Theory is computed without the run, so that it can disagree. A module imports from modules above it
in this list only (tests/test_structure.py reads the list and the imports). Import from the module that has the name:
`from weightlab.update_rules import optimizer`.

Layer 0, needs torch and numpy only
    validate          clear refusals of bad input: value, allowed range, remedy
    state_words       how a state text is spelled: words, numbers and parts that a link carries as they are
    pictures          what is to be seen, as data: views, series, reference lines
    records           DescentRecord, TrainingRecord, SignalRecord: what a run leaves
    own_function      a learner's own function of two weights, checked and batched
    own_optimizer     optimizer classes, PyTorch's and a learner's own, tried out before a run
    landscapes        toy losses of two weights: function, bounds, start, minima, Hessian
    update_rules      gradient descent, momentum, Nesterov, RMSprop, Adam: pure init and step on batches of learners
    schedules         step -> factor on the learning rate
    torch_schedulers  each schedule's counterpart in torch.optim.lr_scheduler
    activations       name -> function, module and gain
    initializers      name -> in-place initialization and the variance it should give
    losses            name -> loss of a batch, and how many outputs it needs
    devices           CPU, CUDA or MPS, and how many threads
    theory            closed forms on a quadratic: limits, rates, roots, regions
    signal_theory     closed forms for a deep network: magnitudes per layer
    noise_theory      closed forms for noisy descent under any schedule
    loop_theory       closed forms for the update loop: gradients by loss, forgotten gradients
    imbalance_theory  closed forms for a rare class: shares of the gradient, precision, thresholds

Layer 1
    models            small real networks with named layers: MLP, CNN, RNN, LSTM, GRU
    own_model         a learner's own nn.Module as a model: checked, its layers found
    datasets          real data that ships with scikit-learn, synthetic two-dimensional sets, splits
    scores            how well a classifier finds the rare class, at one threshold and over all
    imbalance         real data made imbalanced, and the techniques against it
    loop_problems     what the update loop is shown on

Layer 2
    experiments       DescentExperiment, TrainingExperiment: everything that decides a run
    sizes             what networks take that train in a panel, known without making them
    state_parts       landscape, rules, model and data as parts of a state text, and back
    state_text        experiments and panels as short texts to share, and back
    verdicts          how a descent ended, in words
    environment       what the labs run on: versions, devices, threads, widget packages
    steppers          a network's weights as one flat vector that an update rule moves
    recorder          what is measured in every step of a real run
    batches           a run's examples in batches, in an order that can be gone back to
    checkpoints       where a run stood at some of its steps
    time_gradients    backpropagation through time: the gradient at every time step
    batched_descent   many learners of one rule together, a step at a time, watched for divergence
    descent           thousands of toy learners in one batched pass -> DescentRecord
    training          a real run, one step at a time, changeable midway -> TrainingRecord
    stacked_networks  networks of one architecture as one tensor: every operation shared
    ensembles         many small networks trained at once: rates, first weights, activations, seeds
    ensemble_choices  what differs between networks trained at once: rates, or activation and initialization
    cures             vanishing and exploding gradients, and what each cure does about them
    cure_tables       what the cures come to, in words and tables
    signals           forward and backward magnitudes per layer of a deep network -> SignalRecord
    loop_experiments  LoopExperiment and LoopRecord: what the update loop runs and leaves
    update_loop       the training loop one line of PyTorch at a time
    class_gradients   the gradient of a batch split by class, for networks side by side
    imbalanced_runs   small networks on imbalanced data: how much of each update comes from each class
    leakage           resampling before the split, and what the score is then worth
    loop_measurements what the update loop's habits cost or save, measured on the digits
    surfaces          the loss of a real network on planes through its weights
    weight_paths      a run's path through the weights, and what a plane shows of it
    sharpness         the Hessian's largest eigenvalue while a network trains, beside its limit
    device_times      what an update costs on the CPU and on a GPU, over the network's size
    stopping          when to stop: patience, target, budget, and a run that heeds them and keeps its best weights
    learning_curves   training and validation side by side over a whole run
    least_squares     a loss on real data that is exactly quadratic: stopping early beside an L2 penalty
    goals             a goal under a budget: right answers over several seeds, if it is kept to
    fans              every position of a slider at once, in one batched pass
    measurements      rates and shares read off a record
    races             fair races between update rules: tuned rates, the same starts and budget, several seeds
    scheduled_runs    many noisy runs of one rule under a schedule, down a bowl that may move

Layer 3
    plots             draws pictures on a given matplotlib Axes; never trains
    checks            verdicts on a learner's answer
    programs          the plain PyTorch program that a panel stands for
    exercise_cells    a lab's exercises, taken apart: stub, check, solution
    nbgrader_copies   labs as nbgrader's assignments
    check_reports     what the checks of a learner's copy say, run afresh or as saved
    grading           the instructor's command line
    schedule_figures  schedules: rates over steps, noise floors, mean losses, runs side by side
    stopping_figures  learning curves over seeds, and stopping early beside an L2 penalty
    momentum_figures  what momentum does: steps as sums, named lines, the (learning rate, momentum) plane
    signal_figures    signals through depth, and real runs over several seeds, side by side
    loop_figures      what a loss does to the gradient of a confident mistake
    nesterov_figures  where Nesterov's gradient is taken, and where it is stable beside other rules
    race_figures      sensitivity to the learning rate beside how the race came out
    imbalance_figures scores by ratio, shares of the gradient, techniques and thresholds, side by side
    surface_figures   planes, what they hold, sharpness over seeds, what an update costs
    goal_figures      right answers of several experiments beside a goal, one mark a seed
    cure_figures      gradients by layer or time step, several networks beside one another

Layer 4
    widgets           the animated stage, controls, the live worker and one panel per instrument
    site              all labs as a static site, their panels as replays
"""

__version__ = "0.1.0"

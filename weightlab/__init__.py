"""weightlab: how a neural network's weights are updated, as experiments that one can see, predict and steer.

Four nouns in one direction: controls make an Experiment (frozen), a run turns it into a Record (tensors), a picture
draws the Record; Theory is computed without the run, so that it can disagree. One room per subject, and in every room
the same names: run, panel, picture, program, figures. Imports go from a later line to an earlier one only, and no
subject imports another (tests/test_structure.py). Import a name from its module:
`from weightlab.rules.update_rules import optimizer`.

    validate, devices   refusals of bad input, entries by name; where a run happens, and on how many threads
    program_text        how a PyTorch program is written down
Nouns
    theory/      closed forms: quadratic, signals, noise, loop, imbalance; knows neither rules nor runs
    rules/       update rules, schedules, optimizer classes of PyTorch and of a learner
    networks/    models, activations, initializers, losses, data, a learner's own module
    descent/     toy landscapes and the learners that walk down them
    training/    a real run, one step at a time, changeable midway
Hands
    pictures/    what is to be seen, as data; still figures in one style
    texts/       an experiment as a short text to share, and back
    programs/    an experiment as a plain PyTorch program
    stage/       the animated view, controls, worker, panel, replay; the only room that uses widget packages
Subjects
    loop/ toys/ signals/ ensembles/ cures/ scheduling/ stopping/ imbalance/ surfaces/ playground/
Roof
    teaching/    checks of a learner's answers, reports, grading, the labs as a site
"""

__version__ = "0.1.0"

"""What a lab shows: an animated stage, controls, a worker for live runs, and panels that put them together.

Everything that is easy to test lives in the layers below; a panel binds controls to one experiment and one picture.
Import a panel from its own module: `from weightlab.widgets.descent_panel import DescentPanel`. As in the package's
own list, a module imports from those above it only.

Shared
    controls           what a learner can set, and the questions asked before a run
    live               one worker a panel: callbacks only post, the newest settings win
    stage              the animated canvas
    fan                the pictures at every position of a slider, as they go to the page
    packed             numbers rounded and packed for a page that has no kernel
    replay             a panel as one HTML file that needs neither a kernel nor a network
    take_home          settings as a text, the PyTorch program, the page: what a learner takes along
    panel              controls, one experiment, one picture, the reading beside it, predictions
    live_runs          what panels share whose run goes on while the learner watches
    descent_settings   what of a toy experiment the controls of a descent panel say
    descent_picture    what a descent panel shows, for one run or for a whole fan
    settings_map       the (learning rate, momentum) plane as a view
    film               the steps of a training run that the stage has
    own_parts          a learner's own data, network and optimizer in place of a panel's
    training_settings  the controls of a training panel, and the experiment they stand for
    schedule_scene     what a schedule panel shows
    stepper_picture    what the update loop's panel shows
    imbalance_view     what the panel of imbalanced data shows
    sharpness_view     what the sharpness panel shows
    ensemble_view      what the panel of many networks shows

One instrument each
    descent_panel      toy landscapes
    signal_panel       magnitudes layer by layer
    time_gradients_panel  the gradient at every time step of a recurrent network
    training_panel     a real network in training
    stepper_panel      the update loop, line by line
    schedule_panel     learning-rate schedules
    epochs_panel       learning curves, and where the stopping rules end a run
    imbalance_panel    imbalanced data: shares of the gradient, threshold, confusion matrix
    surface_panel      the loss of a real network on a plane, with the run's path
    sharpness_panel    sharpness rising to its limit while a network trains
    ensemble_panel     many networks trained at once: learning rates, or activation and initialization

A notebook as a page
    replay_outputs     the replays that stand for a notebook's panels
"""

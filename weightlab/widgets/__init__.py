"""What a lab shows: an animated stage, controls, a worker for live runs, and panels that put them together.

Everything that is easy to test lives in the layers below; a panel binds controls to one experiment and one picture.
Import a panel from its own module: `from weightlab.widgets.descent_panel import DescentPanel`.

Modules: `stage` (the canvas view), `controls`, `live` (one run at a time, the newest settings win), `panel` (what all
panels share) and one `*_panel` module per instrument.
"""

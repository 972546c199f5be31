// Whether the kernel that made the panel is still there. JupyterLab's widget manager knows: no message is sent for it,
// and nobody looks while the page is hidden. Other hosts have no such manager; there only an answer that does not come
// tells it.

const LOOK_EVERY_MS = 1000;
const NO_KERNEL = "Disconnected: this panel's kernel has ended. Start one (menu Kernel, Restart Kernel), then run this panel's cell again.";
const OTHER_KERNEL = "Disconnected: the kernel was restarted, and this panel belongs to the one before. To go on, run this panel's cell again, "
  + "and before it the cells above that it needs.";
const NO_SERVER = "Disconnected: the page cannot reach the kernel and keeps trying. If this stays, see that JupyterLab's server "
  + "still runs, then reload the page.";

function disconnection(stage) {
  const manager = stage.model.widget_manager;
  if (!manager || manager.kernel === undefined) return "";
  const kernel = manager.kernel;
  if (!kernel || kernel.isDisposed || ["dead", "terminating"].includes(kernel.status)) return NO_KERNEL;
  const layout = stage.model.get("layout"); // of the same kernel as the panel, and shows its comm, as the panel does not
  if (!layout) return "";
  if (layout.comm_live === false || (kernel.hasComm && !kernel.hasComm(layout.model_id))) return OTHER_KERNEL;
  return kernel.connectionStatus === "connected" ? "" : NO_SERVER;
}

function watchKernel(stage, now) {
  if (now - (stage.lookedAt || 0) < LOOK_EVERY_MS) return;
  stage.lookedAt = now;
  const said = disconnection(stage);
  if (said === stage.cutOff) return;
  stage.cutOff = said;
  showSilence(stage);
  showTransport(stage);
}

// One line for both: no connection, or a message that the kernel has not answered for a while.
function showSilence(stage) {
  stage.silence.textContent = stage.cutOff || UNANSWERED;
  stage.silence.hidden = !stage.cutOff && !stage.late;
}

// What the run is doing, as far as the page can know.
function stateWords(stage) {
  const { state, text } = stage.model.get("transport");
  return stage.cutOff ? "disconnected" : text || state;
}

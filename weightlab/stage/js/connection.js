// Whether the kernel that made the panel is still there. JupyterLab's widget manager knows: no message is sent for it,
// and nobody looks while the page is hidden. Other hosts have no such manager; there only an answer that does not come
// tells it.

import { showTransport } from "./transport.js";

const LOOK_EVERY_MS = 1000;
export const UNANSWERED =
  "No answer from the kernel yet. If it was restarted, run this panel's cell again; if another cell is running, wait for it.";
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

export function watchKernel(stage, now) {
  if (now - (stage.lookedAt || 0) < LOOK_EVERY_MS) return;
  stage.lookedAt = now;
  const said = disconnection(stage);
  if (said === stage.cutOff) return;
  stage.cutOff = said;
  showSilence(stage);
  showTransport(stage);
}

// One line for both: no connection, or a message that the kernel has not answered for a while.
export function showSilence(stage) {
  stage.silence.textContent = stage.cutOff || UNANSWERED;
  stage.silence.hidden = !stage.cutOff && !stage.late;
}

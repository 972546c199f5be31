// Where anywidget begins: a panel in a notebook.

import { make } from "./elements.js";
import { StageView } from "./stage.js";

export default {
  render({ model, el }) {
    const root = make("div", { class: "weightlab" });
    el.append(root);
    const stage = new StageView(model, root);
    return () => stage.close();
  },
};

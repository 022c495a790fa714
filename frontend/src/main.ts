/** Entry of the live page. */

import { App } from "./app.ts";
import { expose } from "./expose.ts";
import { parseQuery } from "./stream/query.ts";
import { askServer } from "./ui/known.ts";
import { showSetup } from "./ui/overlays.ts";
import { TopBar } from "./ui/top-bar.ts";

const parsed = parseQuery(location.search);
if (parsed.ok) expose(new App(parsed.query));
else {
  new TopBar().setup();
  const { problems } = parsed;
  showSetup(problems, location.search, {});
  void askServer().then((known) => {
    if (Object.keys(known).length > 0) showSetup(problems, location.search, known);
  });
}

"""An application whose dependency is not installed."""

import a_module_that_nobody_has

application = a_module_that_nobody_has.application

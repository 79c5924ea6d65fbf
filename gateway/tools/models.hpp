#pragma once

// The subcommands `models list`, `verify`, `prune`, `adopt`, `pin` and `unpin`: the model folders
// and their registry, looked after without a running gateway or beside one.

#include "config/settings.hpp"
#include "core/model.hpp"

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace gateway::tools {

struct models_options {
    std::optional<core::model_kind> kind; // nothing: all kinds
    std::vector<std::string> names;       // empty: all files, where that makes sense
    bool all = false;                     // of adopt: every file
    bool dry_run = false;                 // of prune
    bool json = false;                    // of list
};

// Adds the flags that the subcommand of this name has.
void add_models_flags(CLI::App& command, models_options& into, const std::string& subcommand);

// The exit status: 0 all is well, 1 something is not (said on `out`), 2 it could not be done.
int list_models(const models_options& o, const config::settings& s, std::ostream& out);
int verify_models(const models_options& o, const config::settings& s, std::ostream& out);
int prune_models(const models_options& o, const config::settings& s, std::ostream& out);
int adopt_models(const models_options& o, const config::settings& s, std::ostream& out);
int pin_models(const models_options& o, const config::settings& s, bool on, std::ostream& out);

} // namespace gateway::tools

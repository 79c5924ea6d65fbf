#pragma once

// Everything that can be set about a simulated WebUI. Times are those at speed 1.

#include "tools/simulator/dialect.hpp"

#include <cstddef>
#include <filesystem>
#include <string>

namespace gateway::tools::simulator {

enum class startup_mode {
    nowebui, // the port opens last: an open port means that every route exists
    full_ui, // the port opens first; the API follows, if nothing disturbs it (webui.md §1.3)
};

struct settings {
    std::string listen = "127.0.0.1:7861";
    std::filesystem::path models_dir; // empty: a temporary folder with one tiny checkpoint
    kind dialect = kind::a1111_1_10;
    startup_mode startup = startup_mode::nowebui;
    double speed = 1; // divides every duration below

    // Start-up, in seconds.
    double boot = 0.5;       // until the port opens
    double ui = 1;           // full-ui: open port without API, until the race window opens
    double window = 0.3;     // full-ui: the race window, until the API is added
    double extensions = 0.3; // full-ui: until the extensions' routes are there

    // Work.
    double step_ms = 25;      // one sampling step of one megapixel
    double base_ms = 40;      // prompt encoding and everything else around a picture
    double load_s_per_gb = 2; // a model or LoRA into memory
    double hash_mb_per_s = 500;
    double refresh_ms = 50; // a model list being rebuilt: empty meanwhile

    // Flags of the WebUI.
    bool api = true;
    std::string api_auth;           // "user:password[,user:password]"
    std::string cors_allow_origins; // separated by commas
    bool no_hashing = false;
    bool no_download_sd_model = false; // leave an empty model folder empty
    bool skip_load_model_at_start = false;
    bool freeze_settings = false;
    bool api_server_stop = false;

    std::string faults;
    std::string log_file;
    std::size_t threads = 40; // of the pool that runs handlers
};

} // namespace gateway::tools::simulator

#pragma once

// One row of the WebUI's routing table. Private to the simulator's webui.

#include "tools/simulator/webui.hpp"

namespace gateway::tools::simulator {

struct route {
    // Which part of the program adds it, and so when it exists.
    enum part {
        page,        // FastAPI's or gradio's own
        internal,    // /internal/*, full UI only
        api,         // /sdapi
        vae_list,    // /sdapi, unless the dialect has modules
        module_list, // /sdapi, if it has
        server_stop, // /sdapi, with --api-server-stop
        extension,   // /sdapi too, but added later and without a login
    };
    // Where the handler runs.
    enum place {
        on_loop,       // async def: answers even when all threads are taken
        on_thread,     // def: one of the forty
        after_reading, // def with a body: takes its thread once the body is validated
    };

    std::string_view method;
    std::string_view path;
    simulator::route::part part;
    place runs;
    webui::handler run;
};

} // namespace gateway::tools::simulator

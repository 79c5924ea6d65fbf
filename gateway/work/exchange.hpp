#pragma once

// One job's request: sent on a connection of its own, its reply carried into the spool while it is
// checked. Says what came of it; what follows from that is the attempt's to decide.

#include "core/retry.hpp"
#include "proto/webui.hpp"
#include "store/spool.hpp"
#include "work/webui.hpp"

#include <string>

namespace gateway::work {

struct exchange_order {
    std::string file; // name in the spool
    proto::webui_route route;
    std::string body; // empty: none
    duration limit{}; // until the reply begins
    proto::expected_models expected;
    bool wants_images = true;
    bool any_json = false; // see proto::reply_facts
};

struct exchange_report {
    core::outcome what = core::outcome::lost_running;
    bool lost = false;      // sent, and no whole reply: whether it ran has to be found out
    std::string reason;     // for people, unless it is done
    store::spool_file file; // when done
    proto::reply_summary reply;
    std::string model_loaded;       // what info says the picture was made with
    std::vector<std::string> notes; // of the verification, for the log
};

net::task<exchange_report> exchange(webui& to, store::spool& spool, exchange_order order);

} // namespace gateway::work

import urllib.request, conex

with conex.open() as cx:
    net = cx.networks.create("site")
    with cx.start("my/db:1", id="db", network=net, env={"PASSWORD": "x"}) as db, \
         cx.start("my/web:1", id="web", network=net, env={"DB": "db:5432"}, ports=["127.0.0.1::80"]) as web:
        web.wait_for(port=80, timeout=10)
        host, port = web.port(80)       # the kernel chose it
        print(urllib.request.urlopen(f"http://{host}:{port}/").read())
    # leaving the block deletes both; closing the context deletes the network

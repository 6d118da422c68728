/* Hostile manifests, indexes and configs, for whoever parses them (unit/manifest.c, unit/image-config.c) and whoever brings
 * in whole images with them (system/hostile.c). */
#ifndef CONEX_TEST_IMAGE_BAD_H
#define CONEX_TEST_IMAGE_BAD_H

#include "image.h"

#define OCI_M "application/vnd.oci.image.manifest.v1+json"
#define OCI_I "application/vnd.oci.image.index.v1+json"
#define DOCKER_M "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_I "application/vnd.docker.distribution.manifest.list.v2+json"
#define CONFIG "'config':{'mediaType':'application/vnd.oci.image.config.v1+json','digest':'$','size':7023}"
#define LAYER(d, s) "{'mediaType':'application/vnd.oci.image.layer.v1.tar+gzip','digest':" d ",'size':" s "}"
#define LAYERS "'layers':[" LAYER("'$'", "32654") "]"
#define OFFER(os, arch, more) "{'mediaType':'" OCI_M "','digest':'$','size':7143,'platform':{'os':'" os \
	"','architecture':'" arch "'" more "}}"
#define WITH_LAYER(l) "{'schemaVersion':2," CONFIG ",'layers':[" l "]}"
#define WITH_OFFER(o) "{'schemaVersion':2,'manifests':[" o "]}"

/* Manifests and indexes: the document, the type that was said (NULL: none), what the refusal points at, its code. */
struct bad_manifest { const char *text, *type, *where; int code; };

static const struct bad_manifest bad_manifests[] = {
	/* read in two ways */
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'manifests':[]}", NULL, "manifests, layers", -EINVAL },
	{ "{'schemaVersion':2,'mediaType':'" OCI_I "'," LAYERS ",'manifests':[]}", OCI_I, "manifests, layers", -EINVAL },
	{ "{'schemaVersion':2," CONFIG ",'manifests':[]}", NULL, "manifests, config", -EINVAL },
	{ "{'schemaVersion':2," LAYERS ",'manifests':null}", NULL, "manifests, layers", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'Manifests':[]}", NULL, "Manifests", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'LAYERS':[]}", NULL, "LAYERS", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'mediatype':'x'}", NULL, "mediatype", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'layers':[]}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2," CONFIG ",'layers':[{'mediaType':'application/vnd.oci.image.layer.v1.tar','digest':'$',"
	  "'size':1,'size':2}]}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,'mediaType':'" OCI_I "'," CONFIG "," LAYERS "}", NULL, "mediaType = " OCI_I, -EINVAL },
	{ "{'schemaVersion':2,'mediaType':'" OCI_M "'," CONFIG "," LAYERS "}", DOCKER_M, "mediaType = " OCI_M, -EINVAL },
	{ "{'schemaVersion':2,'mediaType':'" OCI_M "','manifests':[]}", NULL, "mediaType = " OCI_M, -EINVAL },
	{ "{'schemaVersion':2,'mediaType':''," CONFIG "," LAYERS "}", NULL, "mediaType = ", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "}", OCI_I, "type given = " OCI_I, -EINVAL },
	{ "{'schemaVersion':2,'manifests':[]}", OCI_M, "type given = " OCI_M, -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "}", "text/html", "type given = text/html", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "}", OCI_M "x", "type given", -EINVAL },
	{ "{'errors':[{'code':'UNAUTHORIZED'}]}", NULL, "manifest", -EINVAL },
	{ "{}", OCI_M, "manifest", -EINVAL },
	/* schema 1 */
	{ "{'schemaVersion':1,'name':'library/x','tag':'latest','fsLayers':[{'blobSum':'$'}],'history':[]}", NULL,
	  "schemaVersion", -EOPNOTSUPP },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'fsLayers':[]}", NULL, "schemaVersion", -EOPNOTSUPP },
	{ "{'schemaVersion':1}", NULL, "schemaVersion", -EOPNOTSUPP },
	{ "{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", "schemaVersion", -EOPNOTSUPP },
	/* types and missing fields */
	{ "{" CONFIG "," LAYERS "}", NULL, "schemaVersion", -EINVAL },
	{ "{'schemaVersion':'2'," CONFIG "," LAYERS "}", NULL, "schemaVersion", -EINVAL },
	{ "{'schemaVersion':3," CONFIG "," LAYERS "}", NULL, "schemaVersion = 3", -EINVAL },
	{ "{'schemaVersion':2.0," CONFIG "," LAYERS "}", NULL, "schemaVersion = 2.0", -EINVAL },
	{ "{'schemaVersion':2,'mediaType':7," CONFIG "," LAYERS "}", NULL, "mediaType = 7", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "}", NULL, "layers", -EINVAL },
	{ "{'schemaVersion':2," LAYERS "}", NULL, "config", -EINVAL },
	{ "{'schemaVersion':2," CONFIG ",'layers':{}}", NULL, "layers = {}", -EINVAL },
	{ "{'schemaVersion':2," CONFIG ",'layers':[null]}", NULL, "layers[0] = null", -EINVAL },
	{ "{'schemaVersion':2,'config':[]," LAYERS "}", NULL, "config = []", -EINVAL },
	{ "{'schemaVersion':2,'config':'$'," LAYERS "}", NULL, "config = ", -EINVAL },
	{ "{'schemaVersion':2,'config':{}," LAYERS "}", NULL, "config.mediaType", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'annotations':{'a':1}}", NULL, "annotations[\"a\"] = 1", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'annotations':['a']}", NULL, "annotations = ", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'subject':'x'}", NULL, "subject = ", -EINVAL },
	{ WITH_LAYER("{'digest':'$','size':1}"), NULL, "layers[0].mediaType", -EINVAL },
	{ WITH_LAYER("{'mediaType':1,'digest':'$','size':1}"), NULL, "layers[0].mediaType = 1", -EINVAL },
	{ WITH_LAYER("{'mediaType':'application/vnd.oci.image.layer.v1.tar','size':1}"), NULL, "layers[0].digest", -EINVAL },
	{ WITH_LAYER("{'mediaType':'application/vnd.oci.image.layer.v1.tar','digest':'$','size':1,'urls':'x'}"), NULL,
	  "layers[0].urls", -EINVAL },
	/* sizes */
	{ WITH_LAYER(LAYER("'$'", "-1")), NULL, "layers[0].size = -1", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "1099511627777")), NULL, "layers[0].size = 1099511627777", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "9223372036854775807")), NULL, "layers[0].size = 9223372036854775807", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "9223372036854775808")), NULL, "line 1", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "18446744073709551615")), NULL, "line 1", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "1e400")), NULL, "line 1", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "1e3")), NULL, "layers[0].size", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "'1'")), NULL, "layers[0].size = \"1\"", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "null")), NULL, "layers[0].size", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "true")), NULL, "layers[0].size = true", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "600000000000") "," LAYER("'$'", "600000000000")), NULL, "layers[].size", -EINVAL },
	{ "{'schemaVersion':2,'config':{'mediaType':'application/vnd.oci.image.config.v1+json','digest':'$',"
	  "'size':4194305}," LAYERS "}", NULL, "config.size = 4194305", -EINVAL },
	/* digests */
	{ WITH_LAYER(LAYER("''", "1")), NULL, "layers[0].digest", -EINVAL },
	{ WITH_LAYER(LAYER("'sha256:../../../../../../../../etc/passwd'", "1")), NULL, "layers[0].digest = sha256:..",
	  -EINVAL },
	{ WITH_LAYER(LAYER("'sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef'", "1")), NULL,
	  "layers[0].digest", -EINVAL },
	{ WITH_LAYER(LAYER("'$0'", "1")), NULL, "layers[0].digest", -EINVAL },
	{ WITH_LAYER(LAYER("' $'", "1")), NULL, "layers[0].digest", -EOPNOTSUPP },
	{ WITH_LAYER(LAYER("'md5:0123456789abcdef0123456789abcdef'", "1")), NULL, "layers[0].digest = md5:", -EOPNOTSUPP },
	{ WITH_LAYER(LAYER("[]", "1")), NULL, "layers[0].digest = []", -EINVAL },
	{ WITH_LAYER(LAYER("'\x1b[2J'", "1")), NULL, "line 1", -EINVAL },
	{ WITH_LAYER(LAYER("'\\u001b[2J:x'", "1")), NULL, "layers[0].digest = \\x1b[2J:x", -EOPNOTSUPP },
	/* what isn't an image of a container */
	{ WITH_LAYER("{'mediaType':'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip','digest':'$','size':1,"
	  "'urls':['http://169.254.169.254/']}"), NULL, "layers[0].mediaType", -EOPNOTSUPP },
	{ WITH_LAYER("{'mediaType':'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip','digest':'$','size':1}"),
	  NULL, "layers[0].mediaType", -EOPNOTSUPP },
	{ WITH_LAYER("{'mediaType':'application/vnd.cncf.helm.chart.content.v1.tar+gzip','digest':'$','size':1}"), NULL,
	  "layers[0].mediaType", -EOPNOTSUPP },
	{ "{'schemaVersion':2,'config':{'mediaType':'application/vnd.oci.empty.v1+json','digest':'$','size':2}," LAYERS "}",
	  NULL, "config.mediaType = application/vnd.oci.empty", -EOPNOTSUPP },
	/* indexes */
	{ "{'schemaVersion':2,'manifests':{}}", NULL, "manifests = {}", -EINVAL },
	{ "{'schemaVersion':2,'manifests':[[]]}", NULL, "manifests[0] = []", -EINVAL },
	{ WITH_OFFER("{'mediaType':'" OCI_M "','digest':'$'}"), NULL, "manifests[0].size", -EINVAL },
	{ WITH_OFFER("{'mediaType':'" OCI_M "','digest':'x','size':1}"), NULL, "manifests[0].digest", -EINVAL },
	{ WITH_OFFER("{'mediaType':'" OCI_M "','digest':'$','size':1,'platform':'linux'}"), NULL, "manifests[0].platform",
	  -EINVAL },
	{ WITH_OFFER("{'mediaType':'" OCI_M "','digest':'$','size':1,'platform':{'os':'linux'}}"), NULL,
	  "manifests[0].platform.architecture", -EINVAL },
	{ WITH_OFFER(OFFER("linux", "../x", "")), NULL, "manifests[0].platform = ../x", -EINVAL },
	{ WITH_OFFER(OFFER("linux", "amd64", ",'variant':'0123456789012345678901234567890123456789'")), NULL,
	  "manifests[0].platform", -EINVAL },
	{ WITH_OFFER(OFFER("linux", "amd64", ",'os.features':[1]")), NULL, "os.features[0] = 1", -EINVAL },
	/* no JSON */
	{ "", NULL, "manifest", -EINVAL },
	{ "null", NULL, "manifest", -EINVAL },
	{ "[]", NULL, "manifest", -EINVAL },
	{ "'x'", NULL, "manifest", -EINVAL },
	{ "<html>404</html>", NULL, "line 1, column", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "} x", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "}{}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS, NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,\n'a':'\xff\xfe'," CONFIG "," LAYERS "}", NULL, "line 2", -EINVAL },
	{ "{'schemaVersion':2,'a':'\xed\xa0\x80'," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "\xef\xbb\xbf{'schemaVersion':2," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,'a':'\\u0000'," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,'a\\u0000b':1," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,'a':'\\ud800'," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':NaN," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
};

#define ROOTFS(ids) "'rootfs':{'type':'layers','diff_ids':[" ids "]}"
#define PLAIN(more) "{'architecture':'amd64','os':'linux'," ROOTFS("'$'") more "}"
#define RUNS(run) PLAIN(",'config':{" run "}")

static const struct { const char *text, *where; int code; } bad_configs[] = {
	{ "{'os':'linux'," ROOTFS("") "}", "config: architecture", -EINVAL },
	{ "{'architecture':'amd64'," ROOTFS("") "}", "config: os", -EINVAL },
	{ "{'architecture':'','os':'linux'," ROOTFS("") "}", "architecture", -EINVAL },
	{ "{'architecture':'a/b','os':'linux'," ROOTFS("") "}", "architecture = a/b", -EINVAL },
	{ "{'architecture':['amd64'],'os':'linux'," ROOTFS("") "}", "architecture", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'}", "rootfs", -EINVAL },
	{ "{'architecture':'amd64','os':'linux','rootfs':{'type':'layers'}}", "rootfs.diff_ids", -EINVAL },
	{ "{'architecture':'amd64','os':'linux','rootfs':{'diff_ids':[]}}", "rootfs.type", -EINVAL },
	{ "{'architecture':'amd64','os':'linux','rootfs':{'type':'snapshots','diff_ids':[]}}", "rootfs.type", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'," ROOTFS("'$',7") "}", "rootfs.diff_ids[1] = 7", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'," ROOTFS("'$','sha256:zz'") "}", "rootfs.diff_ids[1] = sha256:zz", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'," ROOTFS("'../..'") "}", "rootfs.diff_ids[0] = ../..", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'," ROOTFS("'sha1:00'") "}", "rootfs.diff_ids[0]", -EOPNOTSUPP },
	{ PLAIN(",'history':[{},{}]"), "history = 2 steps", -EINVAL },
	{ PLAIN(",'history':[{'empty_layer':'true'}]"), "history[0].empty_layer", -EINVAL },
	{ PLAIN(",'history':{}"), "history = {}", -EINVAL },
	{ PLAIN(",'history':[1]"), "history[0] = 1", -EINVAL },
	{ PLAIN(",'config':[]"), "config = []", -EINVAL },
	{ PLAIN(",'config':{'Cmd':'sh'}"), "config.Cmd = \"sh\"", -EINVAL },
	{ RUNS("'Cmd':[1]"), "config.Cmd[0] = 1", -EINVAL },
	{ RUNS("'Cmd':['a'],'Cmd':['b']"), "line 1", -EINVAL },
	{ RUNS("'Entrypoint':{}"), "config.Entrypoint", -EINVAL },
	{ RUNS("'Entrypoint':[null]"), "config.Entrypoint[0] = null", -EINVAL },
	{ RUNS("'Env':['A']"), "config.Env[0] = A", -EINVAL },
	{ RUNS("'Env':['A=1','=x']"), "config.Env[1] = =x", -EINVAL },
	{ RUNS("'Env':{'A':'1'}"), "config.Env", -EINVAL },
	{ RUNS("'Env':['A=\\u0000']"), "line 1", -EINVAL },
	{ RUNS("'User':0"), "config.User = 0", -EINVAL },
	{ RUNS("'User':':0'"), "config.User = :0", -EINVAL },
	{ RUNS("'User':'a:'"), "config.User = a:", -EINVAL },
	{ RUNS("'User':'a:b:c'"), "config.User = a:b:c", -EINVAL },
	{ RUNS("'User':'a\\nroot:x:0:0'"), "config.User = a\\x0aroot", -EINVAL },
	{ RUNS("'User':'../root'"), "config.User = ../root", -EINVAL },
	{ RUNS("'WorkingDir':'app'"), "config.WorkingDir = app", -EINVAL },
	{ RUNS("'WorkingDir':'/a/../../etc'"), "config.WorkingDir = /a/..", -EINVAL },
	{ RUNS("'WorkingDir':7"), "config.WorkingDir = 7", -EINVAL },
	{ RUNS("'Volumes':{'/../../etc':{}}"), "config.Volumes = /../../etc", -EINVAL },
	{ RUNS("'Volumes':{'data':{}}"), "config.Volumes = data", -EINVAL },
	{ RUNS("'Volumes':{'':{}}"), "config.Volumes", -EINVAL },
	{ RUNS("'Volumes':['/data']"), "config.Volumes", -EINVAL },
	{ RUNS("'Volumes':{'/data':1}"), "config.Volumes[\"/data\"] = 1", -EINVAL },
	{ RUNS("'Labels':{'a':{}}"), "config.Labels[\"a\"]", -EINVAL },
	{ RUNS("'Labels':{'\\u001b[2J':1}"), "config.Labels[\"\\x1b[2J\"] = 1", -EINVAL },
	{ RUNS("'Labels':['a=b']"), "config.Labels", -EINVAL },
	{ RUNS("'StopSignal':'SIGNOT'"), "config.StopSignal = SIGNOT", -EINVAL },
	{ RUNS("'StopSignal':15"), "config.StopSignal = 15", -EINVAL },
	{ RUNS("'ExposedPorts':{'0':{}}"), "config.ExposedPorts = 0", -EINVAL },
	{ RUNS("'ExposedPorts':{'65536/tcp':{}}"), "config.ExposedPorts = 65536/tcp", -EINVAL },
	{ RUNS("'ExposedPorts':{'80/icmp':{}}"), "config.ExposedPorts = 80/icmp", -EINVAL },
	{ RUNS("'ExposedPorts':{'80-':{}}"), "config.ExposedPorts = 80-", -EINVAL },
	{ RUNS("'ExposedPorts':{'http':{}}"), "config.ExposedPorts = http", -EINVAL },
	{ RUNS("'ExposedPorts':{'4294967376':{}}"), "config.ExposedPorts", -EINVAL },
	{ RUNS("'Healthcheck':{'Test':['true']}"), "config.Healthcheck.Test = true", -EINVAL },
	{ RUNS("'Healthcheck':{'Test':['CMD']}"), "config.Healthcheck.Test = CMD", -EINVAL },
	{ RUNS("'Healthcheck':{'Test':['CMD-SHELL','a','b']}"), "config.Healthcheck.Test", -EINVAL },
	{ RUNS("'Healthcheck':{'Interval':-1}"), "config.Healthcheck.Interval = -1", -EINVAL },
	{ RUNS("'Healthcheck':{'Retries':4294967296}"), "config.Healthcheck.Retries", -EINVAL },
	{ RUNS("'Healthcheck':{'Timeout':'30s'}"), "config.Healthcheck.Timeout", -EINVAL },
	{ "[]", "config", -EINVAL },
	{ "\x1f\x8b\x08", "config", -EINVAL },
};

#endif

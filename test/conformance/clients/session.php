<?php
// PHP's session handler of the extension Memcached: php session.php <port>
ini_set('session.save_handler', 'memcached');
ini_set('session.save_path', "127.0.0.1:$argv[1]");
ini_set('session.use_cookies', '0');
ini_set('session.use_only_cookies', '0');
ini_set('session.cache_limiter', '');
ini_set('memcached.sess_binary_protocol', $argv[2]);
ini_set('zend.assertions', '1');

session_id('one');
assert(session_start());
assert(!isset($_SESSION['visits']));
$_SESSION['visits'] = 1;
$_SESSION['text'] = str_repeat('x', 100000);
assert(session_write_close());

$_SESSION = [];
session_id('one');
assert(session_start());
assert($_SESSION['visits'] === 1 && strlen($_SESSION['text']) === 100000);
$_SESSION['visits']++;
assert(session_write_close());

session_id('one');
assert(session_start());
assert($_SESSION['visits'] === 2);
assert(session_destroy());

session_id('one');
assert(session_start());
assert(!isset($_SESSION['visits']));
session_write_close();
echo "done\n";

<?php
// Installs WordPress as its own installer does, without mail and without a look at the network, and publishes one post.
// Arguments: the folder of WordPress, the shop's title, the post's title and text. Prints the post's number.
define( 'WP_INSTALLING', true );
list( , $folder, $title, $post, $text ) = $argv;
$_SERVER['HTTP_HOST']   = 'www.shop.example';
$_SERVER['REQUEST_URI'] = '/';
function wp_new_blog_notification() {
}
require $folder . '/wp-load.php';
add_filter(
	'pre_http_request',
	function () {
		return new WP_Error( 'demo', 'the demo asks nobody' );
	}
);
require ABSPATH . 'wp-admin/includes/upgrade.php';
wp_install( $title, 'shopkeeper', 'shopkeeper@shop.example', true, '', 'only-a-demo' );
$number = wp_insert_post(
	array(
		'post_title'   => $post,
		'post_content' => $text,
		'post_status'  => 'publish',
		'post_author'  => 1,
	),
	true
);
if ( is_wp_error( $number ) ) {
	fwrite( STDERR, $number->get_error_message() );
	exit( 1 );
}
echo $number;

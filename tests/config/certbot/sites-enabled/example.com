server {
    server_name example.com www.example.com;
    root /var/www/example.com;
    index index.html;

    location / {
        try_files $uri $uri/ =404;
    }

    location ^~ /.well-known/acme-challenge/ {
        default_type "text/plain";
        root /var/www/letsencrypt;
    }

    listen [::]:443 ssl ipv6only=on; # managed by Certbot
    listen 443 ssl; # managed by Certbot
    ssl_certificate letsencrypt/fullchain.pem; # managed by Certbot
    ssl_certificate_key letsencrypt/privkey.pem; # managed by Certbot
    include letsencrypt/options-ssl-nginx.conf; # managed by Certbot
    ssl_dhparam letsencrypt/ssl-dhparams.pem; # managed by Certbot

    ssl_trusted_certificate letsencrypt/chain.pem; # managed by Certbot
    add_header Strict-Transport-Security "max-age=31536000" always; # managed by Certbot
}
server {
    if ($host = www.example.com) {
        return 301 https://$host$request_uri;
    } # managed by Certbot


    if ($host = example.com) {
        return 301 https://$host$request_uri;
    } # managed by Certbot


    listen 80;
    listen [::]:80;
    server_name example.com www.example.com;
    return 404; # managed by Certbot


}

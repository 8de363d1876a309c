use tokio::net::TcpListener;

use super::*;

async fn cause_at(addresses: &[String], kind: ConnectErrorKind) -> String {
    let urls: Urls = addresses.join(",").parse().unwrap();
    cause(&urls, &kind.to_string()).await
}

#[tokio::test]
async fn a_closed_port_is_told_with_its_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let told = cause_at(std::slice::from_ref(&address), ConnectErrorKind::Io).await;
    assert_eq!(told, format!("{address}: Connection refused"));
}

#[tokio::test]
async fn a_server_that_accepts_connections_has_another_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = [listener.local_addr().unwrap().to_string()];
    let told = cause_at(&address, ConnectErrorKind::Io).await;
    assert!(told.contains("certificate"), "{told}");
    let told = cause_at(&address, ConnectErrorKind::TimedOut).await;
    assert!(told.ends_with("does not speak NATS in time"), "{told}");
    let told = cause_at(&address, ConnectErrorKind::AuthorizationViolation).await;
    assert_eq!(told, "they refuse the credentials");
}
